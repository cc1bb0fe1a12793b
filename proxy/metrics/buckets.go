package metrics

import "time"

// The histogram's upper bounds: 0.25 and 1 ms for what comes from memory, 5 ms steps up to 100 ms,
// coarser above. The step width is a constant so that [bucketOf] finds the place without searching.
const (
	fineStep  = 5 * time.Millisecond
	fineSteps = 20 // 5 ms … 100 ms
	fineFirst = 2  // index of the 5 ms bound
	fineEnd   = fineSteps * fineStep

	numBounds  = fineFirst + fineSteps + 9
	numBuckets = numBounds + 1 // the last one is +Inf
)

// bounds returns the upper bounds in ascending order; a value equal to a bound belongs to it.
func bounds() [numBounds]time.Duration {
	b := [numBounds]time.Duration{250 * time.Microsecond, time.Millisecond}
	for i := range fineSteps {
		b[fineFirst+i] = time.Duration(i+1) * fineStep
	}
	copy(b[fineFirst+fineSteps:], []time.Duration{
		150 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	})
	return b
}

// bucketOf returns the index of the first bound that is not below d.
func bucketOf(d time.Duration) int {
	switch {
	case d <= 250*time.Microsecond:
		return 0
	case d <= time.Millisecond:
		return 1
	case d <= fineEnd:
		return fineFirst + int((d-1)/fineStep)
	}
	return coarseBucket(d)
}

func coarseBucket(d time.Duration) int {
	const first = fineFirst + fineSteps
	switch {
	case d <= 150*time.Millisecond:
		return first
	case d <= 200*time.Millisecond:
		return first + 1
	case d <= 300*time.Millisecond:
		return first + 2
	case d <= 500*time.Millisecond:
		return first + 3
	case d <= time.Second:
		return first + 4
	case d <= 2500*time.Millisecond:
		return first + 5
	case d <= 5*time.Second:
		return first + 6
	case d <= 10*time.Second:
		return first + 7
	case d <= 30*time.Second:
		return first + 8
	}
	return numBounds
}
