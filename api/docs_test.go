package api

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"stevedore/internal/test/services"
)

// TestDocsLoadOnlyOwnFiles: every file that the page names is embedded, and its policy
// allows neither other hosts nor inline scripts.
func TestDocsLoadOnlyOwnFiles(t *testing.T) {
	t.Parallel()
	b := setup(&servicedouble.Service{})
	page := b.call("GET", "/docs", "")
	require.Equal(t, 200, page.Code)
	require.Equal(t, "text/html; charset=utf-8", page.Header().Get("Content-Type"))
	require.Contains(t, page.Header().Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'; connect-src 'self';")
	files := regexp.MustCompile(`(?:src|href)="(/docs/[^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1)
	require.Len(t, files, 3)
	for _, file := range files {
		require.Equal(t, 200, b.call("GET", file[1], "").Code, file[1])
	}
	require.Equal(t, 404, b.call("GET", "/docs/nothing.js", "").Code)
}

// TestDocsInABrowser sends a request from the page, with the console's session.
func TestDocsInABrowser(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	require.Equal(t, 201, b.call("POST", "/api/v1/servers", acme).Code)
	served := httptest.NewServer(b.handler)
	defer served.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(services.Chromium(t)), chromedp.NoSandbox)...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()

	const operation = "#operations-servers-listServers"
	require.NoError(t, chromedp.Do(ctx,
		chromedp.EmulateViewport(1280, 860),
		chromedp.Navigate(served.URL+"/login"),
		chromedp.SendKeys("#token", testToken), chromedp.Submit("#token"), chromedp.WaitVisible("header.top"),
		chromedp.Navigate(served.URL+"/docs"),
		chromedp.WaitVisible(operation),
	))
	photo(t, ctx, "docs")
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Click(operation+" button.opblock-summary-control"),
		chromedp.Click(operation+" .try-out__btn", chromedp.NodeVisible),
		chromedp.Click(operation+" .execute", chromedp.NodeVisible),
		chromedp.WaitVisible(operation+" .live-responses-table .response-col_status"),
	))
	photo(t, ctx, "docs-try-it")
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector("`+operation+` .live-responses-table").innerText`))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(strings.TrimSpace(strings.TrimPrefix(text, "Code\tDetails")), "200"), text)
	require.Contains(t, text, "sftp.example.com")
}

// photo saves a screenshot of the page if STEVEDORE_TEST_SCREENSHOTS names a folder.
func photo(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	folder := os.Getenv("STEVEDORE_TEST_SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644))
}
