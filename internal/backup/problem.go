package backup

// Exit codes of the program, documented in README.md. 10 is never used: to Dokku it means "not my command".
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitWarnings    = 3 // done, with warnings
	ExitLocked      = 11
	ExitKey         = 12 // key missing or wrong
	ExitNoApp       = 20 // Dokku's own code for an app that does not exist
	ExitInterrupted = 130
)

// Problem is an error written for the person who reads it: one line that says what and why, then the way out.
type Problem struct {
	Message string   // what and why, lower case, no full stop
	Hints   []string // what to do; the last is, ideally, a command to paste
	Code    int      // exit code; 0 means ExitFailed
	Err     error    // the cause, for errors.Is and errors.As; never shown
}

// Error is the message without the hints.
func (p *Problem) Error() string { return p.Message }

func (p *Problem) Unwrap() error { return p.Err }

// ExitCode is the code that the program ends with after this problem.
func (p *Problem) ExitCode() int {
	if p.Code == 0 {
		return ExitFailed
	}
	return p.Code
}
