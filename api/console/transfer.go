package console

import "stevedore/internal/ingest"

// transferSettings lists the transfer modes of a server, the default first.
var transferSettings = []ingest.TransferSetting{ingest.TransferAuto, ingest.TransferStaged, ingest.TransferDirect}

// transferNames labels the transfer modes of a server.
var transferNames = map[ingest.TransferSetting]string{
	ingest.TransferAuto:   "Automatic: by file size",
	ingest.TransferStaged: "Staged: on the worker's disk first",
	ingest.TransferDirect: "Direct: streamed into the object store",
}

// transfer translates a server's transfer mode; empty means the default.
func (v *view) transfer(s ingest.TransferSetting) string {
	if s == "" {
		s = ingest.TransferAuto
	}
	if word := transferNames[s]; word != "" {
		return v.T(word)
	}
	return string(s)
}

// modeNames labels the transfer modes of a file.
var modeNames = map[ingest.Mode]string{
	ingest.ModeMemory: "In memory, stored by one request",
	ingest.ModeStaged: "Staged on the worker's disk, then uploaded",
	ingest.ModeDirect: "Streamed into a multipart upload",
}

// mode translates a file's transfer mode; unknown modes are unchanged.
func (v *view) mode(m ingest.Mode) string {
	if word := modeNames[m]; word != "" {
		return v.T(word)
	}
	return string(m)
}
