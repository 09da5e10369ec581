// phantomjs phantom.js URL: opens the URL, and stays.
var page = require('webpage').create();

page.onConsoleMessage = function (text) {
  console.log('console: ' + text);
};
page.onError = function (text) {
  console.log('uncaught: ' + text);
};
page.open(require('system').args[1], function (status) {
  console.log('load: ' + status);
});
