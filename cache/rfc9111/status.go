package rfc9111

import "slices"

// neverStored lists the statuses that no freshness makes storable: RFC 6585 forbids it for 428, 429, 431 and
// 511, 421 is about the connection, and 101 never comes this far. Those of StoredByChoice are only stored where the
// route wants it.
func neverStored(status int, wanted []int) bool {
	switch status {
	case 421, 428, 429, 431, 511:
		return true
	}
	return status > 599 || StoredByChoice(status) && !slices.Contains(wanted, status)
}

// StoredByChoice lists the statuses that RFC 9110 permits to store and tzero by default does not: 400, 408, 413, 414,
// 417 and 505 speak about one request's form (its size, its expectation, its version), so that storing them lets a
// stranger break a page for everybody. What makes a target too long, 414, need not be in the key, such as a prefix
// that the origin's front adds.
func StoredByChoice(status int) bool {
	switch status {
	case 400, 408, 413, 414, 417, 505:
		return true
	}
	return false
}

// heuristicStatus lists the statuses that are heuristically cacheable (RFC 9110 §15.1).
func heuristicStatus(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// operatorStatus lists what an operator's TTL applies to: answers, and redirects that are the page's answer.
func operatorStatus(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 302, 307, 308:
		return true
	}
	return false
}

// understood lists the final statuses whose caching requirements this package implements (§5.2.2.3).
func understood(status int) bool {
	switch {
	case status >= 200 && status <= 205, status >= 300 && status <= 303, status == 307, status == 308:
		return true
	case status >= 400 && status <= 417, status == 421, status == 422, status == 426, status == 451:
		return true
	case status >= 500 && status <= 505:
		return true
	}
	return false
}
