package configs

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/tzero-edge/tzero/configs/strict"
)

// Hash identifies an effective configuration: equal settings have equal hashes, however they are written
// and wherever they come from. Secrets are elided before hashing, since anyone may read the metrics and
// try guesses against a hash; a rotated secret therefore does not change it.
func Hash(c *Config) string {
	sum := sha256.Sum256(strict.Render(c, nil))
	return hex.EncodeToString(sum[:8])
}
