!function(){"use strict";self.WebSocketEmulation={version:"0.1.0"}}();
//# sourceMappingURL=emulation.js.map
