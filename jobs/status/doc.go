// Package status is what the members of a cluster say of themselves, all at one moment.
//
//	Discover ─▶ of each member: Status, Metrics ─▶ Report ─▶ well, ErrAlarm or ErrUnhealthy
//
// It changes nothing, needs no quorum and, where auth is on, no right but a login. A member that
// does not answer stays in the report, with its error and with what its metrics tell. What is not
// known is absent from the report, never 0.
package status
