package main

import _ "github.com/prometheus/client_golang/prometheus" // the endpoint follows
import _ "github.com/prometheus/client_golang/prometheus/promhttp"
