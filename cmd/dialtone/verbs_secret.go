package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

func (a *app) secret() *cobra.Command {
	return parent("secret", "The key that passwords are sealed with in the store", a.secretRotate())
}

func (a *app) secretRotate() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use: "rotate", Short: "Make a new key and seal all secrets with it", Args: usage(cobra.NoArgs),
		Long: `Make a new key for the secrets in the store and seal all of them with it: the passwords of phones and of their lines, and the
seeds of second factors. Nothing else changes, and no phone notices. The key is in dialtone.key in the state folder.

Backups that were made before hold the earlier key, and what was sealed with it: if somebody has both, change the passwords.`,
		Example: "  dialtone secret rotate --dry-run\n  dialtone secret rotate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.RotateKeyWithResponse(cmd.Context(), &api.RotateKeyParams{DryRun: dryRun})
			if err != nil {
				return fmt.Errorf("rotate: %w", err)
			}
			if r.JSON200 == nil {
				return answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
			}
			return a.print(r.JSON200, func(w io.Writer) error {
				x := r.JSON200
				if !x.Done {
					_, err := fmt.Fprintf(w, "%d records would be sealed anew; now they are with key %s. Nothing was changed.\n", x.Records, x.Old)
					return err
				}
				_, err := fmt.Fprintf(w, "%d records are sealed with key %s now, instead of %s.\n", x.Records, x.New, x.Old)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say how many records would be sealed anew")
	return cmd
}

// revealedConfig returns a config's own values with its secrets in clear.
func (a *app) revealedConfig(ctx context.Context, c *api.ClientWithResponses, id string) (*api.Revealed, error) {
	r, err := c.RevealConfigWithResponse(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("reveal config: %w", err)
	}
	if r.JSON200 == nil {
		return nil, answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	return r.JSON200, nil
}

// revealedPhone is revealedConfig for a phone.
func (a *app) revealedPhone(ctx context.Context, c *api.ClientWithResponses, phone string) (*api.Revealed, error) {
	r, err := c.RevealPhoneWithResponse(ctx, phone)
	if err != nil {
		return nil, fmt.Errorf("reveal phone: %w", err)
	}
	if r.JSON200 == nil {
		return nil, answer(r.StatusCode(), r.ApplicationProblemJSONDefault)
	}
	return r.JSON200, nil
}
