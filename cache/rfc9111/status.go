package rfc9111

// neverStored lists the statuses that no freshness makes storable: RFC 6585 forbids it for 428, 429, 431 and
// 511, and 400, 408, 413, 414, 417 and 505 speak about one request's form (its size, its expectation, its
// version), so that storing them lets a stranger break a page for everybody. RFC 9110 §15.5.15 calls 414
// heuristically cacheable; but what makes a target too long may not be in the key, such as a prefix that the
// origin's front adds. 101 never comes this far; 421 is about the connection.
func neverStored(status int) bool {
	switch status {
	case 400, 408, 413, 414, 417, 421, 428, 429, 431, 505, 511:
		return true
	}
	return status > 599
}

// heuristicStatus lists the statuses that are heuristically cacheable (RFC 9110 §15.1) and may be stored.
func heuristicStatus(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 501:
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
