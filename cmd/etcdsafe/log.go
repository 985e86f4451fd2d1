package main

import (
	"io"
	"log/slog"
)

// logger writes the story to stderr.
func (c *cli) logger(w io.Writer) *slog.Logger {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	options := &slog.HandlerOptions{Level: levels[string(c.set.LogLevel.Get())]}
	if c.set.LogFormat.Get() == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
