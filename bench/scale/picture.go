package scale

import (
	"fmt"
	"image/color"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Chart is one chart of a picture: one line for each kind over time.
type Chart struct {
	Title, Unit string
	Kinds       []string
}

// lineColors are distinguishable for colour-blind readers (Okabe and Ito, 2008).
var lineColors = []color.Color{
	color.RGBA{R: 0, G: 114, B: 178, A: 255}, color.RGBA{R: 213, G: 94, B: 0, A: 255}, color.RGBA{R: 0, G: 158, B: 115, A: 255},
	color.RGBA{R: 204, G: 121, B: 167, A: 255}, color.RGBA{R: 86, G: 180, B: 233, A: 255},
}

// lineDashes make lines of the same height visible.
var lineDashes = [][]vg.Length{nil, {8, 3}, {2, 3}, {10, 3, 2, 3}, {5, 5}}

// Draw writes four charts of the samples to an SVG file.
func Draw(path string, samples []Sample, charts [4]Chart) error {
	canvas := vgsvg.New(9*vg.Inch, 6*vg.Inch)
	plots := [][]*plot.Plot{make([]*plot.Plot, 2), make([]*plot.Plot, 2)}
	for i, chart := range charts {
		drawn, err := drawChart(samples, chart)
		if err != nil {
			return fmt.Errorf("draw %s: %w", chart.Title, err)
		}
		plots[i/2][i%2] = drawn
	}
	tiles := draw.Tiles{Rows: 2, Cols: 2, PadX: 6 * vg.Millimeter, PadY: 6 * vg.Millimeter, PadTop: 3, PadBottom: 3, PadLeft: 3, PadRight: 3}
	for row, cells := range plot.Align(plots, tiles, draw.New(canvas)) {
		for col, cell := range cells {
			plots[row][col].Draw(cell)
		}
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(file); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}

func drawChart(samples []Sample, chart Chart) (*plot.Plot, error) {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = chart.Title, "minutes", chart.Unit
	p.Add(plotter.NewGrid())
	most := 0.0
	for i, kind := range chart.Kinds {
		points := make(plotter.XYs, len(samples))
		for j, s := range samples {
			points[j].X, points[j].Y = s.At.Minutes(), s.Values[kind]
			most = max(most, points[j].Y)
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = lineColors[i%len(lineColors)], vg.Points(1.2)
		line.Dashes = lineDashes[i%len(lineDashes)]
		p.Add(line)
		if len(chart.Kinds) > 1 {
			p.Legend.Add(kind, line)
		}
	}
	p.Legend.Top, p.Legend.Left = true, true // labels right of their lines: their width differs from viewer to viewer
	p.Legend.Padding = vg.Points(2)
	p.Y.Min, p.Y.Max = 0, most*1.25
	if len(chart.Kinds) > 1 {
		p.Y.Max = most * 2 // room for the legend
	}
	return p, nil
}
