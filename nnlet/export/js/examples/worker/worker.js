// A worker that answers the Open Inference Protocol. Where the package is installed from npm,
// the imports are "nnlet-models" and "nnlet-models/oip".
import { load, models } from "../../workerd.js";
import { openInferenceProtocol } from "../../oip.js";

export default { fetch: openInferenceProtocol({ load, models }) };
