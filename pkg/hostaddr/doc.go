// Package hostaddr follows the addresses of this machine, which come and go while a program runs: by
// DHCP, by SLAAC, as a floating address, or because the network is up later than the program.
//
//	addresses, err := hostaddr.Open(log)
//	…
//	defer addresses.Close()
//	changed, stop := addresses.Watch()
//	defer stop()
//	for range changed {
//		use(addresses.Current())
//	}
//
// Linux announces an address (rtnetlink) before it routes packets to it. Systems that announce
// nothing are asked for the list every PollInterval.
package hostaddr
