// phantomjs phantom.js URL GATEWAY: shows the page of the URL as one of the gateway's own origin.
var webpage = require('webpage');
var args = require('system').args;
var loader = webpage.create();
var page = webpage.create();

page.onConsoleMessage = function (text) {
  console.log('console: ' + text);
};
page.onError = function (text) {
  console.log('uncaught: ' + text);
};
loader.settings.javascriptEnabled = false;
loader.open(args[1], function (status) {
  console.log('load: ' + status);
  page.setContent(loader.content, args[1].replace(/^http:\/\/[^\/]+/, args[2]));
});
