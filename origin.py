import http.server,time
n=0
class H(http.server.BaseHTTPRequestHandler):
    protocol_version="HTTP/1.1"
    def do_GET(s):
        global n; n+=1
        b=("hello %d %s"%(n,s.path)).encode()
        s.send_response(200); s.send_header("Cache-Control","max-age=60"); s.send_header("Surrogate-Key","news all"); s.send_header("Content-Length",str(len(b))); s.end_headers(); s.wfile.write(b)
    def log_message(s,*a): pass
http.server.ThreadingHTTPServer(("127.0.0.1",7398),H).serve_forever()
