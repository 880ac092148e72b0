package ingest

import (
	"net/netip"
	"strings"
)

// Overlap says why what x takes may also be taken by y: both list the same folder, or
// one moves files into what the other lists. It is empty when neither can be seen.
func (s Server) Overlap(other Server) string {
	if !s.sameLogIn(other) {
		return ""
	}
	name := "server " + other.Name
	if !other.Active {
		name += ", which is paused,"
	}
	into, moves := s.AfterIngest.MoveTo()
	from, moved := other.AfterIngest.MoveTo()
	switch {
	case foldersOverlap(s.RootPath, other.RootPath):
		return name + " takes files from the same place: " + DisplayPath(other.RootPath) + " there and " + DisplayPath(s.RootPath) + " here"
	case moves && lies(into, other.RootPath):
		return name + " takes files from " + DisplayPath(other.RootPath) + ", where this one moves them"
	case moved && lies(from, s.RootPath):
		return name + " moves files to " + DisplayPath(from) + ", where this one takes them"
	default:
		return ""
	}
}

// sameLogIn reports whether both log in to the same account. A name that means
// something only where it is looked up is compared with the way there.
func (s Server) sameLogIn(other Server) bool {
	host := plainHost(s.Host)
	if host != plainHost(other.Host) || s.Port != other.Port || s.Username != other.Username {
		return false
	}
	return !localHost(host) || s.Jump == other.Jump && s.Proxy == other.Proxy
}

// plainHost is the one spelling of a host.
func plainHost(host string) string {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap().String()
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// localHost reports whether the host is another one elsewhere.
func localHost(host string) bool {
	address, err := netip.ParseAddr(host)
	if err != nil {
		return !strings.Contains(host, ".")
	}
	return address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast()
}

// foldersOverlap reports whether one folder may be in the other. Where the home
// folder lies, only the server knows.
func foldersOverlap(x, y string) bool {
	return strings.HasPrefix(x, HomeRoot) != strings.HasPrefix(y, HomeRoot) || lies(x, y) || lies(y, x)
}

// lies reports whether the path is the folder or in it; in doubt it is not.
func lies(at, folder string) bool {
	return at == folder || strings.HasPrefix(at, strings.TrimSuffix(folder, "/")+"/")
}

// validateTarget refuses to move what was taken to where it is taken again.
func (s Server) validateTarget() (errs []error) {
	dir, moves := s.AfterIngest.MoveTo()
	if moves && dir == s.RootPath {
		errs = append(errs, fieldErrorf("after_ingest",
			"after-ingest %q: is the folder that is listed, and every file would be taken again: use a folder beside or below it", s.AfterIngest))
	}
	return errs
}
