// A worker that gives `answers` to the cases that are posted to it.
import { load } from "./workerd.js";
import { answers } from "./answers.js";

export default {
  async fetch(request) {
    return Response.json(await answers(load, await request.json()));
  },
};
