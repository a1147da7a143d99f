package config

import (
	"fmt"
	"reflect"
	"strings"
)

// unknownKey says that the key is not one of the table here, and what to write
// instead, if that can be guessed from the keys known anywhere below root.
func unknownKey(key string, here, root reflect.Type) string {
	known := keysOf(here)
	for _, k := range known {
		if strings.EqualFold(k, key) {
			return fmt.Sprintf("is not a known key; write it in lower case, %s", k)
		}
	}
	if tables := tablesWith(key, "", root); len(tables) > 0 {
		return fmt.Sprintf("is not a known key here; it belongs %s", strings.Join(tables, " or "))
	}
	nearest, least := "", 1+max(2, len(key)/3)
	for _, k := range known {
		if d := distance(key, k); d < least {
			nearest, least = k, d
		}
	}
	if nearest != "" {
		return fmt.Sprintf("is not a known key; did you mean %s?", nearest)
	}
	return fmt.Sprintf("is not a known key; known here are %s", strings.Join(known, ", "))
}

func keysOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		if tag := tagOf(t.Field(i)); tag != "" {
			keys = append(keys, tag)
		}
	}
	return keys
}

// tablesWith names the tables below t that have the key.
func tablesWith(key, table string, t reflect.Type) (found []string) {
	for i := range t.NumField() {
		tag, inner := tagOf(t.Field(i)), t.Field(i).Type
		switch {
		case tag == "":
		case tag == key && table == "":
			found = append(found, "at the top, before the first [table]")
		case tag == key:
			found = append(found, "under ["+table+"]")
		case inner.Kind() == reflect.Struct:
			found = append(found, tablesWith(key, dotted(table, tag), inner)...)
		case inner.Kind() == reflect.Map:
			found = append(found, tablesWith(key, dotted(table, tag)+".NAME", inner.Elem())...)
		}
	}
	return found
}

// distance is how many letters must be put in, left out or exchanged to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
