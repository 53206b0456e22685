package workbench

import (
	"cmp"
	"fmt"
	"slices"
)

// A LogLevel is how much is logged.
type LogLevel string

// The levels, from little to much. The zero value is LevelInfo.
const (
	LevelError LogLevel = "error"
	LevelWarn  LogLevel = "warn"
	LevelInfo  LogLevel = "info"
	LevelDebug LogLevel = "debug"
)

// Logging says what Workbench and the Launcher log, to files below
// /var/log/rstudio. See
// https://docs.posit.co/ide/server-pro/server_management/logging.html.
type Logging struct {
	// Level is how much. Empty is LevelInfo: why a session starts slowly is not in less.
	Level LogLevel
	// JSON writes a JSON object for each line. That log-message-format is its key is
	// from posit-dev/team-operator; not verified against a licensed product.
	JSON bool
}

func (l Logging) conf() page {
	s := section{"*", []line{text("log-level", string(cmp.Or(l.Level, LevelInfo))), text("logger-type", "file")}}
	if l.JSON {
		s.lines = append(s.lines, text("log-message-format", "json"))
	}
	return public("logging.conf", ini, s)
}

func (l Logging) problems() []error {
	if slices.Contains([]LogLevel{"", LevelError, LevelWarn, LevelInfo, LevelDebug}, l.Level) {
		return nil
	}
	return []error{fmt.Errorf("Logging.Level %.40q: want %q, %q, %q, %q or empty", l.Level, LevelError, LevelWarn, LevelInfo, LevelDebug)}
}
