vcl 4.1;

# Varnish with objects in memory (-s malloc).

backend origin {
    .host = "{{.OriginHost}}";
    .port = "{{.OriginPort}}";
}

sub vcl_recv {
    # What is never stored is not looked up.
    if (req.url ~ "^/dyn/") {
        return (pass);
    }
    # Varnish passes requests with cookies unless told that they do not count, as here they do for nobody.
    if (req.method == "GET" || req.method == "HEAD") {
        return (hash);
    }
}
