package ingest

import (
	"net/netip"
	"strings"
)

// Overlap returns why both servers may ingest the same files: they list the same
// folder, or one moves files into a folder that the other lists. It returns ""
// when neither is apparent.
func (s Server) Overlap(other Server) string {
	if !s.sameAccount(other) {
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
		return name + " ingests the same files: its folder is " + DisplayPath(other.RootPath) + ", this one's is " + DisplayPath(s.RootPath)
	case moves && within(into, other.RootPath):
		return name + " ingests files from " + DisplayPath(other.RootPath) + ", where this server moves its files"
	case moved && within(from, s.RootPath):
		return name + " moves files to " + DisplayPath(from) + ", where this server ingests them"
	default:
		return ""
	}
}

// sameAccount reports whether both log in to the same account, whose name may ignore
// case. The same local host name means the same host only with the same proxy and jump host.
func (s Server) sameAccount(other Server) bool {
	host := canonicalHost(s.Host)
	if host != canonicalHost(other.Host) || s.Port != other.Port || !strings.EqualFold(s.Username, other.Username) {
		return false
	}
	return !networkLocal(host) || s.Jump == other.Jump && s.Proxy == other.Proxy
}

// canonicalHost returns the canonical spelling of a host.
func canonicalHost(host string) string {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap().String()
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// networkLocal reports whether the host's meaning depends on the network: a name
// without a domain, or a private address.
func networkLocal(host string) bool {
	address, err := netip.ParseAddr(host)
	if err != nil {
		return !strings.Contains(host, ".")
	}
	return address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast()
}

// foldersOverlap reports whether one folder may contain the other. Case is ignored,
// because many servers ignore it. Any absolute path may contain the home folder.
func foldersOverlap(x, y string) bool {
	return strings.HasPrefix(x, HomeRoot) != strings.HasPrefix(y, HomeRoot) || within(x, y) || within(y, x)
}

// within reports whether the path is the folder or below it, regardless of case.
func within(at, folder string) bool {
	at, folder = strings.ToLower(at), strings.ToLower(folder)
	return at == folder || strings.HasPrefix(at, strings.TrimSuffix(folder, "/")+"/")
}

// validateTarget rejects a move into the listed folder.
func (s Server) validateTarget() (errs []error) {
	dir, moves := s.AfterIngest.MoveTo()
	if moves && dir == s.RootPath {
		errs = append(errs, fieldErrorf("after_ingest",
			"after-ingest %q: is the listed folder, so every file would be ingested again: use another folder, or one below it", s.AfterIngest))
	}
	return errs
}
