package settings

import "regexp"

// What people paste where it does not belong: an identity as a recipient or as a path, a user part in a plain URL.
var (
	identityForm = regexp.MustCompile(`(?i)AGE-SECRET-KEY-[0-9A-Z-]*`)
	pemForm      = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*`)
	userForm     = regexp.MustCompile(`(://)[^/@\s,"]*@`)
)

// Mask returns text without private keys and the user parts of URLs, wherever in it they stand. It is the last net
// before something is printed, not a licence to put them there.
func Mask(text string) string {
	text = identityForm.ReplaceAllString(text, redacted)
	text = pemForm.ReplaceAllString(text, redacted)
	return userForm.ReplaceAllString(text, "${1}"+redacted+"@")
}
