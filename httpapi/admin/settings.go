package admin

import (
	"bytes"
	"context"

	"laurel/httpapi/handler"
	"laurel/internal/textfmt"
	"laurel/trust/access"
)

// Settings shows the settings of the group, as far as this frontend has applied the log.
func (h *Handlers) Settings(_ context.Context, r *handler.Request) (handler.Response, error) {
	list := access.SettingList{Settings: h.Control.Access().Settings.List()}
	return r.Result(list, func(b *bytes.Buffer) {
		t := textfmt.NewTable("SETTING", "VALUE")
		for _, s := range list.Settings {
			t.Row(s.Name, s.Value)
		}
		t.Write(b)
	})
}

// ChangeSetting changes the setting with the name of the request. It answers with all
// settings.
func (h *Handlers) ChangeSetting(ctx context.Context, r *handler.Request) (handler.Response, error) {
	var body access.SettingRequest
	if err := r.Decode(&body); err != nil {
		return none, err
	}
	change := access.Change{Setting: &access.Setting{Name: r.Name, Value: body.Value}}
	if err := h.changeAccess(ctx, r, change); err != nil {
		return none, err
	}
	return h.Settings(ctx, r)
}
