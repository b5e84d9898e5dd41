package main

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// call sends a request of an operation that succeeds if nothing is edited.
type call func(edit ...api.RequestEditorFn) (*http.Response, error)

// attempt is a call, and what is special about it.
type attempt struct {
	call call
	by   *person // who alone can make it; nil: whoever has the right
	at   *office // the daemon; nil: that of the test
}

// apiCase is how an operation succeeds.
type apiCase struct {
	status int
	needs  access.Scope // or one of the two below
	make   func(s *apiSite, c *api.Client) attempt
}

// What an operation may need besides a scope.
const (
	own     access.Scope = "own"     // to be signed in
	anybody access.Scope = "anybody" // nothing
)

// of is an attempt that nothing is special about.
func of(c call) attempt { return attempt{call: c} }

// got makes a case of an operation that looks at something.
func got(needs access.Scope, get func(s *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error)) apiCase {
	return apiCase{http.StatusOK, needs, func(s *apiSite, c *api.Client) attempt {
		return of(func(edit ...api.RequestEditorFn) (*http.Response, error) { return get(s, c, s.t.Context(), edit...) })
	}}
}

// plain makes a case of an operation without parameters.
func plain(needs access.Scope, f func(*api.Client, context.Context, ...api.RequestEditorFn) (*http.Response, error)) apiCase {
	return apiCase{http.StatusOK, needs, func(s *apiSite, c *api.Client) attempt {
		return of(func(edit ...api.RequestEditorFn) (*http.Response, error) { return f(c, s.t.Context(), edit...) })
	}}
}

// keyed makes a case of an operation whose only parameter is the key of something that is made for it.
func keyed(status int, needs access.Scope, key func(*apiSite) string,
	f func(*api.Client, context.Context, string, ...api.RequestEditorFn) (*http.Response, error),
) apiCase {
	return apiCase{status, needs, func(s *apiSite, c *api.Client) attempt {
		k := key(s)
		return of(func(edit ...api.RequestEditorFn) (*http.Response, error) { return f(c, s.t.Context(), k, edit...) })
	}}
}

// about makes a case of an operation with parameters and the key of something that is made for it.
func about[P any](needs access.Scope, key func(*apiSite) string,
	f func(*api.Client, context.Context, string, *P, ...api.RequestEditorFn) (*http.Response, error),
) apiCase {
	return ending(http.StatusOK, needs, key, f)
}

// ending is about with another status.
func ending[P any](status int, needs access.Scope, key func(*apiSite) string,
	f func(*api.Client, context.Context, string, *P, ...api.RequestEditorFn) (*http.Response, error),
) apiCase {
	return keyed(status, needs, key, func(c *api.Client, ctx context.Context, k string, edit ...api.RequestEditorFn) (*http.Response, error) {
		return f(c, ctx, k, nil, edit...)
	})
}

// put makes a case of an operation with a body, parameters and a key, that answers with another status than edited.
func put[P, B any](status int, needs access.Scope, key func(*apiSite) string,
	f func(*api.Client, context.Context, string, *P, B, ...api.RequestEditorFn) (*http.Response, error), body func(*apiSite) B,
) apiCase {
	return told(status, needs, key, func(c *api.Client, ctx context.Context, k string, b B, edit ...api.RequestEditorFn) (*http.Response, error) {
		return f(c, ctx, k, nil, b, edit...)
	}, body)
}

// begun makes a case of an operation with a body and parameters.
func begun[P, B any](status int, needs access.Scope,
	f func(*api.Client, context.Context, *P, B, ...api.RequestEditorFn) (*http.Response, error), body func(*apiSite) B,
) apiCase {
	return posted(status, needs, func(c *api.Client, ctx context.Context, b B, edit ...api.RequestEditorFn) (*http.Response, error) {
		return f(c, ctx, nil, b, edit...)
	}, body)
}

// told makes a case of an operation with a body and the key of something that is made for it.
func told[B any](status int, needs access.Scope, key func(*apiSite) string,
	f func(*api.Client, context.Context, string, B, ...api.RequestEditorFn) (*http.Response, error), body func(*apiSite) B,
) apiCase {
	return apiCase{status, needs, func(s *apiSite, c *api.Client) attempt {
		k, b := key(s), body(s)
		return of(func(edit ...api.RequestEditorFn) (*http.Response, error) { return f(c, s.t.Context(), k, b, edit...) })
	}}
}

// edited makes a case of an operation with a body, parameters and a key.
func edited[P, B any](needs access.Scope, key func(*apiSite) string,
	f func(*api.Client, context.Context, string, *P, B, ...api.RequestEditorFn) (*http.Response, error), body func(*apiSite) B,
) apiCase {
	return put(http.StatusOK, needs, key, f, body)
}

// posted makes a case of an operation that takes a body alone.
func posted[B any](status int, needs access.Scope,
	f func(*api.Client, context.Context, B, ...api.RequestEditorFn) (*http.Response, error), body func(*apiSite) B,
) apiCase {
	return apiCase{status, needs, func(s *apiSite, c *api.Client) attempt {
		b := body(s)
		return of(func(edit ...api.RequestEditorFn) (*http.Response, error) { return f(c, s.t.Context(), b, edit...) })
	}}
}

// apiCases are the operations by their ID. One that is added to the document is added here.
func apiCases() map[string]apiCase {
	all := make(map[string]apiCase)
	for _, part := range []map[string]apiCase{phoneCases(), guardCases(), configCases(), lookCases(), siteCases(), userCases(), ownCases(), networkCases()} {
		maps.Copy(all, part)
	}
	return all
}

func anyPhone(s *apiSite) string         { return s.newPhone().Mac }
func anyConfig(s *apiSite) string        { return s.newConfig() }
func anyUser(s *apiSite) string          { return s.newUser(s.name(), access.Viewer) }
func always[T any](x T) func(*apiSite) T { return func(*apiSite) T { return x } }

// nobody proves nothing.
func nobody(context.Context, *http.Request) error { return nil }

func phoneCases() map[string]apiCase {
	const w = access.PhonesWrite
	return map[string]apiCase{
		"listPhones": got(access.Read, func(_ *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.ListPhones(ctx, &api.ListPhonesParams{Limit: 2, Sort: "-mac"}, edit...)
		}),
		"createPhone": {http.StatusCreated, w, func(s *apiSite, c *api.Client) attempt {
			p := api.NewPhone{Mac: s.mac(), Label: "New", Override: map[string]any{"admin_password": planted + "created"}, Options: map[string]any{}}
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.CreatePhone(s.t.Context(), nil, p, edit...)
			})
		}},
		"getPhone": keyed(http.StatusOK, access.Read, anyPhone, (*api.Client).GetPhone),
		"updatePhone": {http.StatusOK, w, func(s *apiSite, c *api.Client) attempt {
			p := s.newPhone()
			b := api.PhoneFields{Mac: p.Mac, Label: "Other", Override: p.Override}
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.UpdatePhone(s.t.Context(), p.ID, &api.UpdatePhoneParams{IfMatch: `"1"`}, b, edit...)
			})
		}},
		"patchPhone": edited(w, anyPhone, (*api.Client).PatchPhone,
			always(json.RawMessage(`{"label":"Other","override":{"admin_password":"`+planted+`patch"}}`))),
		"deletePhone": about(w, anyPhone, (*api.Client).DeletePhone),
		"deletePhones": {http.StatusOK, w, func(s *apiSite, c *api.Client) attempt {
			b := api.PhoneKeys{Phones: []string{anyPhone(s), "nobody"}}
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.DeletePhones(s.t.Context(), nil, b, edit...)
			})
		}},
		"replacePhone": edited(w, anyPhone, (*api.Client).ReplacePhone, func(s *apiSite) api.Replacement { return api.Replacement{Mac: s.mac()} }),
		"listBoots":    keyed(http.StatusOK, access.Read, (*apiSite).waiting, (*api.Client).ListBoots),
		"listDrift":    keyed(http.StatusOK, access.Read, (*apiSite).waiting, (*api.Client).ListDrift),
		"getOffer": {http.StatusOK, access.Read, func(s *apiSite, c *api.Client) attempt {
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.GetOffer(s.t.Context(), "00:15:65:00:00:77", &api.GetOfferParams{Relay: "127.64.0.1", Params: []int32{1, 3}}, edit...)
			})
		}},
		"approvePhone": put(http.StatusOK, w, (*apiSite).waiting, (*api.Client).ApprovePhone, always(api.Approval{Config: "autocreate"})),
		"denyPhone":    put(http.StatusOK, w, anyPhone, (*api.Client).DenyPhone, always(api.Denial{Why: "a neighbour's"})),
		"retirePhone":  ending(http.StatusOK, w, anyPhone, (*api.Client).RetirePhone),
		"clearPhone": ending(http.StatusOK, w, func(s *apiSite) string {
			id := s.newPhone().ID
			prepared[api.Decision](s)(s.root.RetirePhone(s.t.Context(), id, nil))
			return id
		}, (*api.Client).ClearPhone),
		"movePort":    put(http.StatusOK, w, (*apiSite).moved, (*api.Client).MovePort, always(api.PortMove{Unpin: true})),
		"quietAlarms": ending(http.StatusNoContent, w, (*apiSite).alarmed, (*api.Client).QuietAlarms),
		"revealPhone": keyed(http.StatusOK, access.SecretsRead, anyPhone, (*api.Client).RevealPhone),
		"issuePhoneToken": put(http.StatusCreated, access.SecretsRead, anyPhone, (*api.Client).IssuePhoneToken,
			always(api.NewPhoneToken{Hours: 1, Remote: true, From: "192.0.2.1"})),
	}
}

func guardCases() map[string]apiCase {
	const w = access.PhonesWrite
	return map[string]apiCase{
		"listWaiting": plain(access.Read, (*api.Client).ListWaiting),
		"listWindows": plain(access.Read, (*api.Client).ListWindows),
		"openWindow": begun(http.StatusCreated, w, (*api.Client).OpenWindow,
			always(api.NewWindow{Network: "sandbox", Vendor: "Aastra", Oui: "00085d", Count: 1, Minutes: 1})),
		"closeWindow": ending(http.StatusNoContent, w, func(s *apiSite) string {
			return prepared[api.Window](s)(s.root.OpenWindow(s.t.Context(), nil, api.NewWindow{Network: "sandbox", Vendor: "Nobody's"})).ID
		}, (*api.Client).CloseWindow),
		"listAsides": plain(access.Read, (*api.Client).ListAsides),
		"setAside":   begun(http.StatusNoContent, w, (*api.Client).SetAside, func(s *apiSite) api.NewAside { return api.NewAside{Key: s.mac(), Why: "a spare"} }),
		"takeBack": ending(http.StatusNoContent, w, func(s *apiSite) string {
			mac := s.mac()
			prepared[any](s)(s.root.SetAside(s.t.Context(), nil, api.NewAside{Key: mac}))
			return mac
		}, (*api.Client).TakeBack),
		"listSightings": got(access.Read, func(_ *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.ListSightings(ctx, &api.ListSightingsParams{Limit: 1}, edit...)
		}),
		"adoptSighting": ending(http.StatusCreated, w, (*apiSite).sighting, (*api.Client).AdoptSighting),
	}
}

func configCases() map[string]apiCase {
	const w = access.ConfigsWrite
	return map[string]apiCase{
		"listConfigs":   plain(access.Read, (*api.Client).ListConfigs),
		"getConfig":     keyed(http.StatusOK, access.Read, anyConfig, (*api.Client).GetConfig),
		"resolveConfig": keyed(http.StatusOK, access.Read, anyConfig, (*api.Client).ResolveConfig),
		"listRevisions": keyed(http.StatusOK, access.Read, anyConfig, (*api.Client).ListRevisions),
		"diffConfig":    about(access.Read, anyConfig, (*api.Client).DiffConfig),
		"putConfig": edited(w, anyConfig, (*api.Client).PutConfig, func(s *apiSite) api.NewConfig {
			return api.NewConfig{Label: "third", Parents: []string{"base"}, Params: s.params("third")}
		}),
		"patchConfig": edited(w, anyConfig, (*api.Client).PatchConfig, func(s *apiSite) json.RawMessage {
			b, err := json.Marshal(map[string]any{"label": "patched", "params": s.params("patch")})
			if err != nil {
				s.t.Fatal(err)
			}
			return b
		}),
		"revealConfig": keyed(http.StatusOK, access.SecretsRead, anyConfig, (*api.Client).RevealConfig),
		"deleteConfig": about(w, anyConfig, (*api.Client).DeleteConfig),
		"restoreConfig": {http.StatusOK, w, func(s *apiSite, c *api.Client) attempt {
			id := s.newConfig()
			history := prepared[api.RevisionList](s)(s.root.ListRevisions(s.t.Context(), id)).Revisions
			b := api.Restoration{Revision: history[len(history)-1].Number}
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.RestoreConfig(s.t.Context(), id, nil, b, edit...)
			})
		}},
	}
}

func lookCases() map[string]apiCase {
	request := func(s *apiSite) int64 {
		s.waiting()
		return int64(s.parts.pipeline.Journal.Recent(1)[0].Request.ID)
	}
	numbered := func(f func(*api.Client, context.Context, int64, ...api.RequestEditorFn) (*http.Response, error)) apiCase {
		return apiCase{http.StatusOK, access.Read, func(s *apiSite, c *api.Client) attempt {
			n := request(s)
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) { return f(c, s.t.Context(), n, edit...) })
		}}
	}
	return map[string]apiCase{
		"getVersion":    plain(access.Read, (*api.Client).GetVersion),
		"listProblems":  plain(access.Read, (*api.Client).ListProblems),
		"listLogLevels": plain(access.Read, (*api.Client).ListLogLevels),
		"setLogLevels": posted(http.StatusOK, access.Admin, func(c *api.Client, ctx context.Context, b api.LogLevelList, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.SetLogLevels(ctx, nil, b, edit...)
		}, always(api.LogLevelList{Levels: []api.LogLevel{{Part: "hooks", Level: "debug"}}})),
		"followEvents": got(access.Read, func(_ *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.FollowEvents(ctx, &api.FollowEventsParams{Once: true}, edit...)
		}),
		"listFiles": keyed(http.StatusOK, access.Read, func(s *apiSite) string { return s.newPhone().Mac },
			func(c *api.Client, ctx context.Context, phone string, edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.ListFiles(ctx, phone, &api.ListFilesParams{Path: "aastra.cfg"}, edit...)
			}),
		"listFirmware": plain(access.Read, (*api.Client).ListFirmware),
		"getSettings":  plain(access.Read, (*api.Client).GetSettings),
		"listLines": got(access.Read, func(_ *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.ListLines(ctx, &api.ListLinesParams{Limit: 2}, edit...)
		}),
		"listPlugins":   plain(access.Read, (*api.Client).ListPlugins),
		"rescanPlugins": plain(access.PluginsWrite, (*api.Client).RescanPlugins),
		"listRequests": got(access.Read, func(_ *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.ListRequests(ctx, &api.ListRequestsParams{Limit: 3}, edit...)
		}),
		"getRequest":    numbered((*api.Client).GetRequest),
		"replayRequest": numbered((*api.Client).ReplayRequest),
		"explain": posted(http.StatusOK, access.Read, (*api.Client).Explain, func(s *apiSite) api.Question {
			mac := s.waiting()
			addr := s.last(strings.ToUpper(strings.ReplaceAll(mac, ":", "")) + ".cfg").Request.Peer
			return api.Question{Proto: "http", Path: "/aastra.cfg", From: addr.String(), Headers: map[string]string{"User-Agent": agent("3.3.1.4365", mac)}}
		}),
		"listLeases": got(access.Read, func(_ *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.ListLeases(ctx, &api.ListLeasesParams{Limit: 2}, edit...)
		}),
		"releaseLease": about(access.LeasesWrite, func(s *apiSite) string { return s.leased(s.mac(), aastraClass).String() }, (*api.Client).ReleaseLease),
		"tellLease": posted(http.StatusOK, access.LeasesWrite, (*api.Client).TellLease, func(s *apiSite) api.LeaseEvent {
			return api.LeaseEvent{Event: "bound", IP: "192.0.2.7", Mac: s.mac(), Lifetime: 600, Hostname: "desk"}
		}),
	}
}

// moved makes a phone that belongs to a switch port.
func (s *apiSite) moved() string {
	s.t.Helper()
	d, err := s.parts.db.Device(s.t.Context(), provision.DeviceID(s.newPhone().ID))
	if err == nil {
		d.Port = "switch-1/7"
		_, err = s.parts.db.PutDevice(s.t.Context(), d)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return string(d.ID)
}

// alarmed makes a phone that asks although it is retired.
func (s *apiSite) alarmed() string {
	s.t.Helper()
	mac := s.mac()
	addr := s.leased(mac, aastraClass)
	path := "/" + strings.ToUpper(strings.ReplaceAll(mac, ":", "")) + ".cfg"
	s.get(addr, path, agent("3.3.1.4365", mac))
	p := prepared[api.Decision](s)(s.root.RetirePhone(s.t.Context(), mac, nil)).Phone
	s.get(addr, path, agent("3.3.1.4365", mac))
	return p.ID
}

// newBackup has the appliance keep a backup.
func (s *apiSite) newBackup() string {
	s.t.Helper()
	f, err := keptBackups{s.parts}.Create(s.t.Context(), false, func(int64, int64) {})
	if err != nil {
		s.t.Fatal(err)
	}
	return f.Name
}

// newJob starts a job that goes on until it is cancelled.
func (s *apiSite) newJob() string {
	s.t.Helper()
	j, err := s.parts.jobs.Start(admin.JobVerify, "", "somebody", func(ctx context.Context, _ func(done, total int64)) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return j.ID
}

func siteCases() map[string]apiCase {
	return map[string]apiCase{
		"rotateKey": got(access.Admin, func(_ *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.RotateKey(ctx, nil, edit...)
		}),
		"listBackups": plain(access.Admin, (*api.Client).ListBackups),
		"createBackup": {http.StatusAccepted, access.Admin, got(access.Admin, func(_ *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.CreateBackup(ctx, nil, edit...)
		}).make},
		"downloadBackup": keyed(http.StatusOK, access.Admin, (*apiSite).newBackup, (*api.Client).DownloadBackup),
		"deleteBackup":   ending(http.StatusNoContent, access.Admin, (*apiSite).newBackup, (*api.Client).DeleteBackup),
		"verifyBackup":   ending(http.StatusAccepted, access.Admin, (*apiSite).newBackup, (*api.Client).VerifyBackup),
		"listJobs": got(access.Admin, func(_ *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.ListJobs(ctx, &api.ListJobsParams{Limit: 2}, edit...)
		}),
		"getJob":    keyed(http.StatusOK, access.Admin, (*apiSite).newJob, (*api.Client).GetJob),
		"cancelJob": ending(http.StatusAccepted, access.Admin, (*apiSite).newJob, (*api.Client).CancelJob),
		"getBackup": plain(access.Admin, (*api.Client).GetBackup),
		"exportSite": got(access.Admin, func(_ *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.ExportSite(ctx, &api.ExportSiteParams{Secrets: true}, edit...)
		}),
		"applySite": {http.StatusOK, access.Admin, func(s *apiSite, c *api.Client) attempt {
			text := "configs:\n- {id: " + s.name() + ", params: {admin_password: " + planted + "applied}}\n"
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.ApplySiteWithBody(s.t.Context(), nil, "application/vnd.dialtone.site+yaml", strings.NewReader(text), edit...)
			})
		}},
		"importFiles": {http.StatusOK, access.Admin, func(s *apiSite, c *api.Client) attempt {
			b := api.ImportFiles{Files: []api.ImportFile{{Name: "phones.csv", Content: []byte("mac,label,admin_password\n" + s.mac() + ",Desk," + planted + "import\nx,,\n")}}}
			return of(func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.ImportFiles(s.t.Context(), "csv", nil, b, edit...)
			})
		}},
		"listAudit": got(access.Admin, func(_ *apiSite, c *api.Client, ctx context.Context, edit ...api.RequestEditorFn) (*http.Response, error) {
			return c.ListAudit(ctx, &api.ListAuditParams{Limit: 1000}, edit...)
		}),
		"verifyAudit": plain(access.Admin, (*api.Client).VerifyAudit),
	}
}

func userCases() map[string]apiCase {
	return map[string]apiCase{
		"listUsers": plain(access.Admin, (*api.Client).ListUsers),
		"createUser": begun(http.StatusCreated, access.Admin, (*api.Client).CreateUser, func(s *apiSite) api.NewUser {
			return api.NewUser{Name: s.name(), Password: password, Role: "viewer"}
		}),
		"deleteUser":      ending(http.StatusNoContent, access.Admin, anyUser, (*api.Client).DeleteUser),
		"setUserRole":     put(http.StatusNoContent, access.Admin, anyUser, (*api.Client).SetUserRole, always(api.UserRole{Role: "operator"})),
		"setUserPassword": put(http.StatusNoContent, access.Admin, anyUser, (*api.Client).SetUserPassword, always(api.NewPassword{Password: planted + "other"})),
		"resetUserTotp":   ending(http.StatusNoContent, access.Admin, anyUser, (*api.Client).ResetUserTotp),
	}
}

// ownCases are the operations about whoever asks.
func ownCases() map[string]apiCase {
	begin := func(s *apiSite, p *person) api.SecondFactor {
		return prepared[api.SecondFactor](s)(s.client(s.office).BeginMyTotp(s.t.Context(), p.as))
	}
	return map[string]apiCase{
		"getMe":         plain(own, (*api.Client).GetMe),
		"listSessions":  plain(own, (*api.Client).ListSessions),
		"listAPITokens": plain(own, (*api.Client).ListAPITokens),
		"createAPIToken": begun(http.StatusCreated, own, (*api.Client).CreateAPIToken, func(s *apiSite) api.NewAPIToken {
			return api.NewAPIToken{Name: s.name(), Scopes: []string{"read"}, Days: 1}
		}),
		"login": {http.StatusOK, anybody, func(s *apiSite, c *api.Client) attempt {
			p := &person{name: anyUser(s), as: nobody}
			return attempt{call: func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.Login(s.t.Context(), api.Credentials{Name: p.name, Password: password}, edit...)
			}, by: p}
		}},
		"setup": {http.StatusNoContent, anybody, func(s *apiSite, _ *api.Client) attempt {
			o := newOffice(s.t, nil)
			code, err := o.parts.access.SetupCode(s.t.Context())
			if err != nil {
				s.t.Fatal(err)
			}
			return attempt{call: func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return s.client(o).Setup(s.t.Context(), api.FirstOwner{Code: code, Name: "first", Password: password}, edit...)
			}, by: &person{name: "first", as: nobody}, at: o}
		}},
		"logout": byOneself(http.StatusNoContent, func(s *apiSite, c *api.Client, _ *person) call {
			return func(edit ...api.RequestEditorFn) (*http.Response, error) { return c.Logout(s.t.Context(), edit...) }
		}),
		"setMyPassword": byOneself(http.StatusNoContent, func(s *apiSite, c *api.Client, _ *person) call {
			return func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.SetMyPassword(s.t.Context(), nil, api.PasswordChange{Old: password, New: planted + "other"}, edit...)
			}
		}),
		"beginMyTotp": byOneself(http.StatusOK, func(s *apiSite, c *api.Client, _ *person) call {
			return func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.BeginMyTotp(s.t.Context(), edit...)
			}
		}),
		"confirmMyTotp": byOneself(http.StatusNoContent, func(s *apiSite, c *api.Client, p *person) call {
			secret := begin(s, p).Secret
			return func(edit ...api.RequestEditorFn) (*http.Response, error) {
				key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
				if err != nil {
					return nil, err
				}
				return c.ConfirmMyTotp(s.t.Context(), nil, api.SecondFactorProof{Password: password, Secret: secret, Code: totp(key, time.Now())}, edit...)
			}
		}),
		"revokeSession": byOneself(http.StatusNoContent, func(s *apiSite, c *api.Client, p *person) call {
			id := s.parts.access.Sessions(p.name)[0].ID
			return func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.RevokeSession(s.t.Context(), id, nil, edit...)
			}
		}),
		"revokeAPIToken": byOneself(http.StatusNoContent, func(s *apiSite, c *api.Client, p *person) call {
			_, token, err := s.parts.access.NewToken(s.t.Context(), p.name, "test", []access.Scope{access.Read}, 0)
			if err != nil {
				s.t.Fatal(err)
			}
			return func(edit ...api.RequestEditorFn) (*http.Response, error) {
				return c.RevokeAPIToken(s.t.Context(), token.ID, nil, edit...)
			}
		}),
	}
}

// byOneself makes a case of an operation that is about the person who asks.
func byOneself(status int, f func(s *apiSite, c *api.Client, p *person) call) apiCase {
	return apiCase{status, own, func(s *apiSite, c *api.Client) attempt {
		p := s.person(s.name(), access.Helpdesk)
		return attempt{call: f(s, c, p), by: p}
	}}
}
