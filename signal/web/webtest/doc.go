// Package webtest has people who use the page as people do: in Chromium and in
// Firefox, with a keyboard and a pointer, each in a browser profile of their own.
//
//	browser, err := webtest.StartChromium()
//	...
//	alice := browser.Person(t, "alice")
//	alice.Navigate(url)
//	alice.SignIn("password")
//	alice.Call("bob")
//	alice.Say("hello")
//
// A person's keys and clicks reach the browser as those of a keyboard and a mouse
// do, so whatever the page makes of them happens in a test, too. Chromium is driven
// by its DevTools protocol, Firefox by WebDriver BiDi; both need the programs of
// these names, hence the build tag integration.
package webtest
