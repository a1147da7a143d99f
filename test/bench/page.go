package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The page is written by hand but for what is between these lines.
const (
	beginMark = "<!-- begin: written by make bench -->"
	endMark   = "<!-- end: written by make bench -->"
)

// results are what the page and the JSON beside it are made of.
type results struct {
	Date    string    `json:"date"`
	Host    host      `json:"host"`
	Program string    `json:"program"`
	Safety  total     `json:"safety"`
	Values  []summary `json:"values"`
}

func resultsOf(all []sample) results {
	r := results{Host: thisHost(), Safety: sumUp(all, ours), Values: summarise(all)}
	newest := time.Time{}
	for _, s := range all {
		if s.At.After(newest) {
			newest = s.At
		}
		if s.Program != "" {
			r.Program = s.Program
		}
	}
	r.Date = newest.Format(time.DateOnly)
	return r
}

func writePage(path string, all []sample) error {
	if path == "" {
		return nil
	}
	r := resultsOf(all)
	beside := strings.TrimSuffix(path, filepath.Ext(path)) + ".json"
	if err := r.keepPeers(beside); err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write page: %w", err)
	}
	head, rest, found := strings.Cut(string(old), beginMark)
	_, tail, foundEnd := strings.Cut(rest, endMark)
	if !found || !foundEnd {
		return fmt.Errorf("write page: %s lacks a line %q or %q; put both where the tables shall be", path, beginMark, endMark)
	}
	if err := os.WriteFile(path, []byte(head+beginMark+"\n\n"+r.markdown()+"\n"+endMark+tail), 0o644); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.WriteFile(beside, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// keepPeers takes what was measured of other tools from the results of before, where
// they were not measured this time: that takes hours, and their packages.
func (r *results) keepPeers(path string) error {
	if len(r.peers()) > 0 {
		return nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var before results
	if err == nil {
		err = json.Unmarshal(text, &before)
	}
	if err != nil {
		return fmt.Errorf("read the results of before: %w", err)
	}
	for _, v := range before.Values {
		if v.ofPeer() {
			r.Values = append(r.Values, v)
		}
	}
	return nil
}
