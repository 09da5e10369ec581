// A service worker that builds every answer anew, as coi-serviceworker does, and tells what it could
// not build.
const build = async (event) => {
  const answer = await fetch(event.request);
  const headers = new Headers(answer.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  try {
    return new Response(answer.body, { status: answer.status, headers });
  } catch {
    const page = await self.clients.get(event.clientId);
    page.postMessage(answer.status);
    return Response.error();
  }
};

self.onfetch = (event) => event.respondWith(build(event));
self.onactivate = (event) => event.waitUntil(self.clients.claim());
