package postgres

import (
	"context"
	"fmt"
	"strings"
)

// RelationNames asks another server which relations it has under these numbers, as
// database.schema.name. Indexes and TOAST tables come by the name of their table. What
// it does not know, or may not tell, is left out: the numbers serve as well.
func (s Source) RelationNames(ctx context.Context, numbers []RelNumber) (map[RelNumber]string, error) {
	databases, err := s.databases(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for names of relations: %w", err)
	}
	names := map[RelNumber]string{}
	for oid, database := range databases {
		var here []RelNumber
		for _, n := range numbers {
			if n.Database == oid || n.Database == 0 && database == s.Database { // 0: shared by all
				here = append(here, n)
			}
		}
		if len(here) == 0 {
			continue
		}
		in := s
		in.Database = database
		if err = in.namesIn(ctx, here, names); err != nil {
			err = fmt.Errorf("ask for names of relations in %s: %w", database, err)
		}
	}
	return names, err
}

func (s Source) databases(ctx context.Context) (map[uint32]string, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer (&Session{conn: conn}).Close()
	rows, err := conn.Query(ctx, `select oid, datname from pg_database where datallowconn`)
	if err != nil {
		return nil, err
	}
	all := map[uint32]string{}
	for rows.Next() {
		var oid uint32
		var name string
		if err := rows.Scan(&oid, &name); err != nil {
			return nil, err
		}
		all[oid] = name
	}
	return all, rows.Err()
}

// namesSQL: the log has the tablespace's number where pg_class has 0 for the database's
// own; pg_filenode_relation knows that (RelidByRelfilenumber, 13 to 18).
const namesSQL = `
select case when of.relnamespace = 'pg_catalog'::regnamespace then '' else current_database() || '.' end
  || n.nspname || '.' || of.relname
from (select pg_filenode_relation($1::oid, $2::oid)::oid as oid) named
left join pg_index i on i.indexrelid = named.oid
left join pg_class t on t.reltoastrelid = coalesce(i.indrelid, named.oid) and t.reltoastrelid <> 0
join pg_class of on of.oid = coalesce(t.oid, i.indrelid, named.oid)
join pg_namespace n on n.oid = of.relnamespace`

func (s Source) namesIn(ctx context.Context, numbers []RelNumber, names map[RelNumber]string) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer (&Session{conn: conn}).Close()
	for _, n := range numbers {
		var name string
		err := conn.QueryRow(ctx, namesSQL, n.Tablespace, n.Number).Scan(&name)
		if err == nil {
			names[n] = strings.TrimSpace(name)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}
