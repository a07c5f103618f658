// Package limit bounds what strangers and users can make a server do: Throttle slows down guessing of passwords,
// Turns shares the work of checking them fairly, Pending bounds the connections of those who have not signed in, Buckets
// and Bucket bound how often something may happen.
//
// Everything here is memory of a fixed size, whatever comes from outside, and nothing starts a goroutine. Addresses
// are counted by Group. The signaling server calls it for logins, messages and the HTTP API:
//
//	attempt, err := throttle.Begin(ctx, name, addr)
//	if wait, ok := errors.AsType[limit.Wait](err); ok {
//		return refuse(wait.Seconds()) // the password is not looked at
//	} else if err != nil {
//		return err // ctx ended
//	}
//	defer attempt.Undecided() // unless one of the others came first
//	switch err := users.Authenticate(ctx, name, password, attempt.Client()); {
//	case err == nil:
//		attempt.Succeeded()
//	case errors.Is(err, user.ErrBadCredentials):
//		attempt.Failed()
//	}
package limit
