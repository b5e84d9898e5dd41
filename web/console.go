package web

import (
	"embed"
	"fmt"
	"html/template"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
)

//go:embed templates
var templates embed.FS

const consoleRows = 100 // outcomes on the page

// consoleHandler is what the console's port answers. The page of the last requests is for who may read, and for the machine
// itself.
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
	e.Use(middleware.SecureWithConfig(middleware.SecureConfig{
		ContentTypeNosniff: "nosniff", XFrameOptions: "DENY", ReferrerPolicy: "no-referrer",
		ContentSecurityPolicy: "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}), s.ours)
	operations, err := s.apiHandler(s.visitor)
	if err != nil {
		return nil, err
	}
	serveDocument(e)
	e.Any(apiBase+"/*", echo.WrapHandler(numbered(s.fenced(operations))))
	s.operational(e, numbered(s.fenced(s.serveMetrics(s.visitor))))
	e.GET("/", func(c echo.Context) error {
		if err := s.mayLook(c.Request()); err != nil {
			return echo.NewHTTPError(http.StatusUnauthorized, "Sign in first, or open this page on the machine itself: "+
				"from elsewhere, ssh -L 8080:"+s.console.Addr().String()+" to it, then http://localhost:8080.")
		}
		phones, err := s.Admin.Devices.Devices(c.Request().Context())
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

// mayLook reports why a request may not see what phones asked for, if so.
func (s *Server) mayLook(r *http.Request) error {
	if remoteOf(r).IsLoopback() {
		return nil
	}
	who, err := s.visitor(r)
	if err != nil {
		return err
	}
	return who.May(access.Read)
}

// ours refuses names that are none of ours, and who comes from far away unless that is allowed.
func (s *Server) ours(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if !s.knownHost(r.Host) {
			return echo.NewHTTPError(http.StatusMisdirectedRequest, "Open the console by its address, or by a name in its setting console.names.")
		}
		if !s.Public && !nearby(remoteOf(r)) {
			return echo.NewHTTPError(http.StatusForbidden, "The console is for the local network; console.public in the settings opens it to others.")
		}
		return next(c)
	}
}
