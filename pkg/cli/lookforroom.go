package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"mcctl/pkg/disk"
	"mcctl/pkg/observe"
	"mcctl/pkg/postgres"
)

// lookForRoomOptions are those of the child that measures PostgreSQL's disks.
type lookForRoomOptions struct {
	Data string
}

func newLookForRoom(env *Env, run func(context.Context, *Env, *lookForRoomOptions) error) *cobra.Command {
	return &cobra.Command{
		Use: observe.RoomCommand + " DATA", Hidden: true, Args: cobra.ExactArgs(1),
		Short: "Measure the room on PostgreSQL's disks (started by the supervisor)",
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd.Context(), env, &lookForRoomOptions{Data: args[0]})
		},
	}
}

// runLookForRoom prints what is measured, for the supervisor.
func runLookForRoom(_ context.Context, env *Env, o *lookForRoomOptions) error {
	room, err := lookForRoom(o.Data)
	if err != nil {
		room.Error = err.Error() // the supervisor hears nothing else
	}
	return json.NewEncoder(env.Stdout).Encode(room)
}

func lookForRoom(data string) (r observe.Room, err error) {
	control, err := (&postgres.Instance{Data: data}).Control()
	if err != nil {
		return r, err
	}
	r.Segment = control.Segment
	r.Spaces, err = disk.Spaces(data)
	return r, err
}
