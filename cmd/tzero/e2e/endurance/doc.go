// Package endurance puts the real binary under long, large and hostile load: gigabytes, thousands of tunnels and of slow
// clients, reloads and the end of the process in the middle of traffic, exhausted descriptors.
//
// Every scenario has two sizes. The small one takes seconds and asserts the property; the full one, `-args -full`, takes up to a
// minute and yields the figures of docs/endurance.md (`make endurance`). Clients, probe and origin are processes of their own
// (peers): 5,000 tunnels cost each side as many descriptors, and one side's memory must not show in another's figures.
package endurance
