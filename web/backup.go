package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web/api"
)

// GetBackup sends the whole state. What fails after the first byte cuts the archive short, which its reader notices.
func (o operations) GetBackup(ctx context.Context, _ api.GetBackupRequestObject) (api.GetBackupResponseObject, error) {
	if o.admin.Backup == nil {
		return nil, fmt.Errorf("backup: %w", provision.ErrNotFound)
	}
	o.server.did(ctx, "backup")
	return backupResponse{ctx, o.admin.Backup}, nil
}

type backupResponse struct {
	ctx   context.Context //nolint:containedctx // of the request that this answers
	write func(context.Context, io.Writer) error
}

// VisitGetBackupResponse implements the generated interface.
func (b backupResponse) VisitGetBackupResponse(w http.ResponseWriter) error {
	// A large state takes longer than any other answer.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Disposition", `attachment; filename="dialtone-backup.tar.gz"`)
	return b.write(b.ctx, w)
}
