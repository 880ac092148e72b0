package ingest

import "slices"

// DefaultInProgressNames are the names that clients and servers give to files while
// they write them, and what desktops leave behind. They are globs for the last
// element of a path, in any case of letters; one that ends in '/' is for folders,
// which are then not entered.
func DefaultInProgressNames() []string { return slices.Clone(defaultInProgress) }

var defaultInProgress = []string{
	// Any dot-file: rsync (.name.Ab12Cd), NiFi and Camel (.name), ProFTPD and lftp
	// (.in.name.), Pure-FTPd, GNOME, Syncthing, NFS and FUSE (.nfs..., .fuse_hidden...),
	// and what desktops keep (.DS_Store, ._name).
	// A name that begins with two dots is nobody's; it is taken.
	".[!.]*",
	// Ends: WinSCP, Cyberduck, rclone, browsers, download managers, MFT products.
	"*.filepart", "*.part", "*.partial", "*.tmp", "*.temp", "*.crdownload", "*.download", "*.downloading",
	"*.opdownload", "*.aria2", "*.!ut", "*.bc!", "*.!qb", "*.upload", "*.uploading", "*.uploadtemp", "*.writing", "*.inprogress",
	"*.in_progress", "*.in-progress", "*.incomplete", "*.pending", "*.wip", "*.sending", "*.transferring",
	"*.xfer", "*.copying", "*.ftptmp", "*._copying_", "*.lock", "*.lck", "*.camellock", "*.swp", "*.swo", "*.swx", "*.kate-swp",
	"*~", "*.sb-????????-??????",
	// In the middle: name.tmp.csv, Flink's and Hadoop's name.inprogress.uuid.
	"*.tmp.*", "*.inprogress.*",
	// Beginnings: tempnam, Office and Windows (~$name, ~name), Emacs (#name#).
	"tmp.*", "tmp_*", "_tmp_*", "_tmp.*", "~[!.]*", "#*#",
	"thumbs.db", "ehthumbs.db", "desktop.ini",
	// Folders of unfinished files and of what was thrown away.
	".~tmp~/", ".rsync-partial/", ".rsync-tmp/", ".inprogress/", ".stversions/", ".trash*/", "_temporary/", "__macosx/",
	"@eadir/", "#recycle/", "$recycle.bin/", "lost+found/",
}

// InProgress returns the globs of Options.InProgressNames with the default
// written out.
func (o Options) InProgress() []string {
	if o.InProgressNames == nil {
		return DefaultInProgressNames()
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

// WaitsForSize says what a file that is smaller than the server's least size waits
// for; empty when it is large enough.
func (s Server) WaitsForSize(size int64) string {
	if size >= s.MinSize {
		return ""
	}
	return Errorf(KindInvalid, "at least %d bytes: it has %d", s.MinSize, size).Message
}
