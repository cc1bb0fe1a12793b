//go:build !race

package encode

const raceDetector = false
