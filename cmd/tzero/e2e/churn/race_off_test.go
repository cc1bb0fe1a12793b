//go:build !race

package churn

const raced = false
