package headers

import (
	"fmt"

	"github.com/tzero-edge/tzero/internal/netset"
)

// newTrust compiles the list of those whose word is believed.
func newTrust(list []string) (netset.Set, error) {
	for _, s := range list {
		prefixes, err := netset.Parse(s)
		if err != nil {
			return netset.Set{}, err
		}
		for _, p := range prefixes {
			if p.Bits() == 0 {
				return netset.Set{}, fmt.Errorf("%q trusts everybody: any client could claim any address", s)
			}
		}
	}
	return netset.New(list)
}
