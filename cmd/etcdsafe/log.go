package main

import (
	"io"
	"log/slog"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
)

// masked keeps out of the log what Mask knows.
func masked(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString, slog.KindAny:
		if text := a.Value.String(); settings.Mask(text) != text {
			return slog.String(a.Key, settings.Mask(text))
		}
	default:
	}
	return a
}

// logger writes the story to stderr.
func (c *cli) logger(w io.Writer) *slog.Logger {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	options := &slog.HandlerOptions{Level: levels[string(c.set.LogLevel.Get())], ReplaceAttr: masked}
	if c.set.LogFormat.Get() == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
