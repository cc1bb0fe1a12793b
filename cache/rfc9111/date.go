package rfc9111

import "time"

// ParseDate reads an HTTP-date in one of its three forms (RFC 9110 §5.6.7), to the letter: one space where
// the grammar has one, two digits where it has two, "GMT" in capitals, names of days and months in their
// own spelling. The day's name is not compared with the date. now resolves the two-digit year of the
// obsolete RFC 850 form: a date more than 50 years ahead means the past century.
func ParseDate(b []byte, now time.Time) (time.Time, bool) {
	if len(b) < len("Sun Nov  6 08:49:37 1994") {
		return time.Time{}, false
	}
	switch {
	case b[3] == ',':
		return parseIMF(b)
	case b[3] == ' ':
		return parseAsctime(b)
	default:
		return parse850(b, now)
	}
}

// parseIMF reads "Sun, 06 Nov 1994 08:49:37 GMT".
func parseIMF(b []byte) (time.Time, bool) {
	if len(b) != 29 || !oneOf(b[:3], "SunMonTueWedThuFriSat") ||
		b[4] != ' ' || b[7] != ' ' || b[11] != ' ' || b[16] != ' ' || string(b[25:]) != " GMT" {
		return time.Time{}, false
	}
	day, ok1 := digits(b[5:7])
	year, ok2 := digits(b[12:16])
	return build(year, b[8:11], day, b[17:25], ok1 && ok2)
}

// parse850 reads "Sunday, 06-Nov-94 08:49:37 GMT".
func parse850(b []byte, now time.Time) (time.Time, bool) {
	i := 0
	for i < len(b) && b[i] != ',' {
		i++
	}
	if !weekday(b[:i]) || len(b)-i != 24 {
		return time.Time{}, false
	}
	b = b[i:]
	if b[1] != ' ' || b[4] != '-' || b[8] != '-' || b[11] != ' ' || string(b[20:]) != " GMT" {
		return time.Time{}, false
	}
	day, ok1 := digits(b[2:4])
	yy, ok2 := digits(b[9:11])
	year := now.UTC().Year()/100*100 + yy
	t, ok := build(year, b[5:8], day, b[12:20], ok1 && ok2)
	if ok && t.After(now.AddDate(50, 0, 0)) {
		return build(year-100, b[5:8], day, b[12:20], true)
	}
	return t, ok
}

// parseAsctime reads "Sun Nov  6 08:49:37 1994".
func parseAsctime(b []byte) (time.Time, bool) {
	if len(b) != 24 || !oneOf(b[:3], "SunMonTueWedThuFriSat") || b[7] != ' ' || b[10] != ' ' || b[19] != ' ' {
		return time.Time{}, false
	}
	var day int
	ok1 := true
	if b[8] == ' ' {
		day, ok1 = digits(b[9:10])
	} else {
		day, ok1 = digits(b[8:10])
	}
	year, ok2 := digits(b[20:24])
	return build(year, b[4:7], day, b[11:19], ok1 && ok2)
}

// AppendDate appends t as an IMF-fixdate.
func AppendDate(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, "Mon, 02 Jan 2006 15:04:05 GMT")
}

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

func build(year int, mon []byte, day int, clock []byte, ok bool) (time.Time, bool) {
	m := index(mon, months)
	if !ok || m < 0 || clock[2] != ':' || clock[5] != ':' {
		return time.Time{}, false
	}
	h, ok1 := digits(clock[:2])
	mi, ok2 := digits(clock[3:5])
	s, ok3 := digits(clock[6:8])
	if !ok1 || !ok2 || !ok3 || h > 23 || mi > 59 || s > 60 || day < 1 {
		return time.Time{}, false
	}
	if s == 60 { // a leap second exists in the grammar, not in time.Time
		s = 59
	}
	t := time.Date(year, time.Month(m+1), day, h, mi, s, 0, time.UTC)
	return t, t.Day() == day
}

func weekday(b []byte) bool {
	switch string(b) {
	case "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday":
		return true
	}
	return false
}

func oneOf(b []byte, names string) bool { return index(b, names) >= 0 }

// index finds a three-letter name in a row of such names.
func index(b []byte, names string) int {
	for i := 0; i+3 <= len(names); i += 3 {
		if string(b) == names[i:i+3] {
			return i / 3
		}
	}
	return -1
}

func digits(b []byte) (int, bool) {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(b) > 0
}
