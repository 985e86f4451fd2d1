package stores

import (
	"net/http"
	"strconv"
)

func number(n int) string { return strconv.Itoa(n) }

func days(n int32) string {
	if n == 1 {
		return "1 day"
	}
	return strconv.Itoa(int(n)) + " days"
}

// reason is a store's refusal in a word or two.
func reason(err error) string {
	status, code := answered(err)
	switch {
	case status == http.StatusForbidden:
		return "this identity may not ask"
	case code != "":
		return code
	case status != 0:
		return http.StatusText(status)
	}
	return "no answer"
}
