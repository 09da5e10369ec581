// The script, which installs itself: it exports nothing, and declares `WebSocketEmulation`.
import './index.cjs';

export {};
