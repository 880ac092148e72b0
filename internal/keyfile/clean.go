package keyfile

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
)

var (
	bom8  = []byte{0xef, 0xbb, 0xbf}
	bomLE = []byte{0xff, 0xfe}
	bomBE = []byte{0xfe, 0xff}
)

// clean undoes changes by editors and mail programs: it converts UTF-16 and line endings
// and removes byte order marks and white space around lines.
func clean(text []byte) []byte {
	text = Text(text)
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	var lines [][]byte
	for line := range bytes.SplitSeq(bytes.TrimSpace(text), []byte("\n")) {
		lines = append(lines, bytes.TrimSpace(line))
	}
	if text = bytes.Join(lines, []byte("\n")); len(text) > 0 {
		text = append(text, '\n')
	}
	return text
}

func fromUTF16(text []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, 0, len(text)/2)
	for i := 0; i+1 < len(text); i += 2 {
		units = append(units, order.Uint16(text[i:]))
	}
	return []byte(string(utf16.Decode(units)))
}

// Text converts UTF-16 with a byte order mark to UTF-8 and removes the byte order mark.
// Other texts are returned unchanged.
func Text(text []byte) []byte {
	switch {
	case bytes.HasPrefix(text, bomLE):
		return fromUTF16(text[2:], binary.LittleEndian)
	case bytes.HasPrefix(text, bomBE):
		return fromUTF16(text[2:], binary.BigEndian)
	}
	return bytes.TrimPrefix(text, bom8)
}
