package console

import "stevedore/internal/ingest"

// transferSettings are the choices of a server's transfer mode, the default first.
var transferSettings = []ingest.TransferSetting{ingest.TransferAuto, ingest.TransferStaged, ingest.TransferDirect}

// transferWords explains the choices in one line each. The texts are keys of the
// translation.
var transferWords = map[ingest.TransferSetting]string{
	ingest.TransferAuto:   "Automatic: by file size",
	ingest.TransferStaged: "Staged: on the worker's disk first",
	ingest.TransferDirect: "Direct: streamed into the object store",
}

// transfer returns the server's setting in the page's language; empty means the
// default.
func (v *view) transfer(s ingest.TransferSetting) string {
	if s == "" {
		s = ingest.TransferAuto
	}
	if word := transferWords[s]; word != "" {
		return v.T(word)
	}
	return string(s)
}

// modeWords explains how the bytes of a file were or are being moved. The texts
// are keys of the translation.
var modeWords = map[ingest.Mode]string{
	ingest.ModeMemory: "In memory, stored by one request",
	ingest.ModeStaged: "Staged on the worker's disk, then uploaded",
	ingest.ModeDirect: "Streamed into a multipart upload",
}

// mode returns the file's transfer mode in the page's language; unknown modes
// keep their name.
func (v *view) mode(m ingest.Mode) string {
	if word := modeWords[m]; word != "" {
		return v.T(word)
	}
	return string(m)
}
