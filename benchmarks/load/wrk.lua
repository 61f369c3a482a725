-- Builds the request of a case and prints what wrk counted as one line of JSON.
-- BENCH_BODY: bytes of a POST body; BENCH_PIPELINE: requests sent at once; BENCH_NUMBERS: so many
-- different values of X-Request-Id in turn; BENCH_REQUESTS: a file of requests that are sent in
-- turn, each after a line with its length.

local body = tonumber(os.getenv("BENCH_BODY") or "0")
local depth = tonumber(os.getenv("BENCH_PIPELINE") or "1")
local numbers = tonumber(os.getenv("BENCH_NUMBERS") or "0")

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

if numbers > 0 then
   local requests, last = {}, 0
   function init(args)
      for i = 1, numbers do
         wrk.headers["X-Request-Id"] = string.format("%08d", i)
         requests[i] = wrk.format()
      end
   end
   function request()
      last = last % numbers + 1
      return requests[last]
   end
end

local file = os.getenv("BENCH_REQUESTS") or ""
if file ~= "" then
   local requests, last = {}, 0
   function init(args)
      local input = assert(io.open(file, "rb"))
      for line in input:lines() do
         requests[#requests + 1] = input:read(tonumber(line))
      end
      input:close()
   end
   function request()
      last = last % #requests + 1
      return requests[last]
   end
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
