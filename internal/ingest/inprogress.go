package ingest

import "slices"

// defaultInProgress are the default globs for names of files in progress: temporary
// names used by clients and servers, and files left by desktops. Globs match the last
// element of a path, ignoring case. A glob that ends in '/' matches folders; matching
// folders are not listed.
var defaultInProgress = []string{
	// Any dot-file: rsync (.name.Ab12Cd), NiFi and Camel (.name), ProFTPD and lftp
	// (.in.name.), Pure-FTPd, GNOME, Syncthing, NFS and FUSE (.nfs..., .fuse_hidden...),
	// and desktop files (.DS_Store, ._name). Names that begin with two dots are
	// ingested: no client uses them for temporary files.
	".[!.]*",
	// Suffixes: WinSCP, Cyberduck, rclone, browsers, download managers, MFT products.
	"*.filepart", "*.part", "*.partial", "*.tmp", "*.temp", "*.crdownload", "*.download", "*.downloading",
	"*.opdownload", "*.aria2", "*.!ut", "*.bc!", "*.!qb", "*.upload", "*.uploading", "*.uploadtemp", "*.writing", "*.inprogress",
	"*.in_progress", "*.in-progress", "*.incomplete", "*.pending", "*.wip", "*.sending", "*.transferring",
	"*.xfer", "*.copying", "*.ftptmp", "*._copying_", "*.lock", "*.lck", "*.camellock", "*.swp", "*.swo", "*.swx", "*.kate-swp",
	"*~", "*.sb-????????-??????",
	// Infixes: name.tmp.csv, and name.inprogress.uuid of Flink and Hadoop.
	"*.tmp.*", "*.inprogress.*",
	// Prefixes: tempnam, Office and Windows (~$name, ~name), Emacs (#name#).
	"tmp.*", "tmp_*", "_tmp_*", "_tmp.*", "~[!.]*", "#*#",
	"thumbs.db", "ehthumbs.db", "desktop.ini",
	// Folders for temporary and deleted files.
	".~tmp~/", ".rsync-partial/", ".rsync-tmp/", ".inprogress/", ".stversions/", ".trash*/", "_temporary/", "__macosx/",
	"@eadir/", "#recycle/", "$recycle.bin/", "lost+found/",
}

// InProgress returns Options.InProgressNames with InProgressDefault expanded.
func (o Options) InProgress() []string {
	if o.InProgressNames == nil {
		return slices.Clone(defaultInProgress)
	}
	var globs []string
	for _, name := range o.InProgressNames {
		if name == InProgressDefault {
			globs = append(globs, defaultInProgress...)
			continue
		}
		globs = append(globs, name)
	}
	return globs
}

// WaitsForSize returns the condition that a file of the size in bytes waits for: the
// server's MinSize, or "" when it is large enough.
func (s Server) WaitsForSize(size int64) string {
	if size >= s.MinSize {
		return ""
	}
	return Errorf(KindInvalid, "at least %d bytes: it has %d", s.MinSize, size).Message
}
