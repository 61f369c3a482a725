-- Builds the request of a case and prints what wrk counted as one line of JSON.
-- BENCH_BODY: bytes of a POST body; BENCH_PIPELINE: requests sent at once.

local body = tonumber(os.getenv("BENCH_BODY") or "0")
local depth = tonumber(os.getenv("BENCH_PIPELINE") or "1")

if body > 0 then
   wrk.method = "POST"
   wrk.body = string.rep("b", body)
   wrk.headers["Content-Type"] = "application/octet-stream"
end

if depth > 1 then
   local batch
   function init(args)
      local requests = {}
      for i = 1, depth do requests[i] = wrk.format() end
      batch = table.concat(requests)
   end
   function request() return batch end
end

-- wrk corrects its latencies for an expected interval that ignores pipelining: not usable then.
local function percentile(latency, p)
   return depth > 1 and "null" or string.format("%d", latency:percentile(p))
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %.6f, "errors": %d, "p50_us": %s, "p99_us": %s}\n',
      summary.requests, summary.duration / 1e6,
      e.connect + e.read + e.write + e.status + e.timeout,
      percentile(latency, 50), percentile(latency, 99)))
end
