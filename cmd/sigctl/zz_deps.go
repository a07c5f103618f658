package main

import (
	_ "github.com/coreos/go-oidc/v3/oidc"
	_ "github.com/go-jose/go-jose/v4"
	_ "github.com/golang-jwt/jwt/v5"
	_ "github.com/hashicorp/golang-lru/v2"
	_ "github.com/pires/go-proxyproto"
	_ "github.com/pion/sdp/v3"
	_ "golang.org/x/time/rate"
)
