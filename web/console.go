package web

import (
	"embed"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
)

//go:embed templates
var templates embed.FS

const consoleRows = 100 // outcomes on the page

// consoleHandler shows the last requests to whoever may reach the console's port.
func (s *Server) consoleHandler() (http.Handler, error) {
	page, err := template.New("").Funcs(template.FuncMap{"printable": provision.Printable}).ParseFS(templates, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("console templates: %w", err)
	}
	style, err := templates.ReadFile("templates/console.css")
	if err != nil {
		return nil, fmt.Errorf("console style: %w", err)
	}
	e := s.newEcho()
	e.Use(knownHost, middleware.SecureWithConfig(middleware.SecureConfig{
		ContentTypeNosniff: "nosniff", XFrameOptions: "DENY", ReferrerPolicy: "no-referrer",
		ContentSecurityPolicy: "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}))
	e.GET("/", func(c echo.Context) error {
		phones, err := s.Admin.Phones(c.Request().Context())
		if err != nil {
			return err
		}
		c.Response().Header().Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
		c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
		return page.ExecuteTemplate(c.Response(), "requests.html", struct {
			Version   string
			Outcomes  []*provision.Outcome
			Phones    int
			Plugins   int
			Problems  []admin.Problem
			Sightings []provision.Sighting
		}{s.Build.Version, s.Admin.Requests(consoleRows), len(phones), len(s.Admin.ListPlugins()), s.Admin.ListProblems(), s.Admin.ListSightings()})
	})
	e.GET("/console.css", func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderCacheControl, "no-cache")
		return c.Blob(http.StatusOK, "text/css; charset=utf-8", style)
	})
	return e, nil
}

// knownHost refuses names that are none of ours: a page elsewhere whose name is made to resolve to us (DNS rebinding)
// may not read the console.
func knownHost(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		host := c.Request().Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && host != "localhost" && host != "" {
			return echo.NewHTTPError(http.StatusMisdirectedRequest, "Open the console by its address, not by a name.")
		}
		return next(c)
	}
}
