// Package shell writes commands that are copied into a POSIX shell. It is pure. Called by
// whoever tells an operator what to do next.
package shell

import "strings"

// plain characters mean nothing but themselves, wherever they stand in a word.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+:,./-"

// Word makes one word of any text, in quotes where it needs them.
func Word(text string) string {
	if text != "" && strings.Trim(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// Path is Word for an absolute path, and leaves alone what is none: numbers, names and
// sentences.
func Path(text string) string {
	if !strings.HasPrefix(text, "/") {
		return text
	}
	return Word(text)
}
