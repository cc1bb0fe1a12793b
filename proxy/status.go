package proxy

// statusText names the status codes that tzero itself answers with, and the common ones beside them
// (RFC 9110 §15).
var statusText = map[int]string{
	200: "OK", 202: "Accepted", 204: "No Content", 206: "Partial Content",
	301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
	307: "Temporary Redirect", 308: "Permanent Redirect",
	400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	408: "Request Timeout", 410: "Gone", 411: "Length Required", 412: "Precondition Failed",
	413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable",
	417: "Expectation Failed", 421: "Misdirected Request", 426: "Upgrade Required",
	429: "Too Many Requests", 431: "Request Header Fields Too Large",
	500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
	503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
	508: "Loop Detected",
}

// StatusText returns the reason phrase of a status code, "" for one that tzero does not use.
func StatusText(status int) string { return statusText[status] }
