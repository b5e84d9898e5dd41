package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

// completeTime is how long a shell waits for words of ours: who presses Tab is at the keyboard.
const completeTime = 2 * time.Second

// completions lets the shell complete what a verb's usage line names: PHONE, CONFIG and so on. A word that is neither is
// a file, if the verb takes one, or nothing.
func (a *app) completions(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		a.completions(sub)
	}
	if cmd.RunE == nil || cmd.ValidArgsFunction != nil {
		return
	}
	if cmd.Name() == "add" || cmd.Name() == "create" {
		cmd.ValidArgsFunction = cobra.NoFileCompletions // the word is a new one
		if !strings.Contains(cmd.Use, "FILE") && !strings.Contains(cmd.Use, "NETWORK") {
			return
		}
	}
	_, line, _ := strings.Cut(cmd.Use, " ")
	words := strings.Fields(line)
	if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "-") }); i >= 0 {
		words = words[:i]
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		at := len(args)
		if n := len(words); n > 0 && strings.HasSuffix(words[n-1], "...") {
			at = min(at, n-1)
		}
		if at >= len(words) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		switch word := strings.Trim(words[at], "[]."); word {
		case "FILE":
			return nil, cobra.ShellCompDirectiveDefault
		case "DIR":
			return nil, cobra.ShellCompDirectiveFilterDirs
		default:
			ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
			defer cancel()
			return a.words(ctx, word), cobra.ShellCompDirectiveNoFileComp
		}
	}
}

// words returns what there is of a kind, each with what tells it from the others; nothing if the daemon can't be asked.
func (a *app) words(ctx context.Context, kind string) (words []cobra.Completion) {
	c, err := a.client()
	if err != nil {
		return nil
	}
	switch kind {
	case "PHONE":
		r, err := c.ListPhonesWithResponse(ctx, &api.ListPhonesParams{Limit: maxPage})
		if err != nil || r.JSON200 == nil {
			return nil
		}
		for _, p := range r.JSON200.Phones {
			if p.Mac != "" {
				words = append(words, cobra.CompletionWithDesc(p.Mac, strings.Join(strings.Fields(p.Model+" "+p.Label), " ")))
			}
		}
	case "CONFIG":
		r, err := c.ListConfigsWithResponse(ctx)
		if err != nil || r.JSON200 == nil {
			return nil
		}
		for _, config := range r.JSON200.Configs {
			words = append(words, cobra.CompletionWithDesc(config.ID, config.Label))
		}
	case "NETWORK":
		r, err := c.ListNetworksWithResponse(ctx)
		if err != nil || r.JSON200 == nil {
			return nil
		}
		for i := range r.JSON200.Networks {
			words = append(words, cobra.CompletionWithDesc(r.JSON200.Networks[i].ID, r.JSON200.Networks[i].Prefix))
		}
	case "RESERVATION":
		r, err := c.ListReservationsWithResponse(ctx, &api.ListReservationsParams{Limit: maxPage})
		if err != nil || r.JSON200 == nil {
			return nil
		}
		for i := range r.JSON200.Reservations {
			x := &r.JSON200.Reservations[i].Reservation
			words = append(words, cobra.CompletionWithDesc(x.IP, strings.Join(strings.Fields(reservedFor(x)+" "+x.Hostname), " ")))
		}
	case "CLASS":
		r, err := c.ListClassesWithResponse(ctx)
		if err != nil || r.JSON200 == nil {
			return nil
		}
		for i := range r.JSON200.Classes {
			words = append(words, r.JSON200.Classes[i].ID)
		}
	case "OPTION":
		r, err := c.ListOptionTypesWithResponse(ctx)
		if err != nil || r.JSON200 == nil {
			return nil
		}
		for _, t := range r.JSON200.Types {
			words = append(words, cobra.CompletionWithDesc(t.Name, t.Hint))
		}
	case "NAME": // a user's
		r, err := c.ListUsersWithResponse(ctx)
		if err != nil || r.JSON200 == nil {
			return nil
		}
		for _, u := range r.JSON200.Users {
			words = append(words, cobra.CompletionWithDesc(u.Name, string(u.Role)))
		}
	}
	return words
}
