-- Lane limits: take as many as every limit allows, from all of them or none (app/domain/gcra.py, take_up_to).
-- KEYS: for each limit its TAT, then those of its parts. ARGV: now_us (0: this server's clock), wanted, then for each
-- key interval_us, burst, pace, and the number of parts that follow it (0 for a part).
-- Returns {granted, microseconds to wait where nothing was granted}.

local now, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end

local tats, intervals, left = {}, {}, {}
for i, key in ipairs(KEYS) do
  intervals[i] = tonumber(ARGV[4 * i - 1])
  tats[i] = math.max(tonumber(redis.call('GET', key) or 0), now)
  left[i] = now + tonumber(ARGV[4 * i]) * intervals[i] - tats[i]
end

local granted, wait, parts_of, i = wanted, 0, {}, 1
while i <= #KEYS do
  local need, parts = math.min(wanted, tonumber(ARGV[4 * i + 1])), tonumber(ARGV[4 * i + 2])
  granted = math.min(granted, math.floor(left[i] / intervals[i]))
  wait = math.max(wait, need * intervals[i] - left[i])
  if parts > 0 then
    local there, per_us = 0, 0
    for part = i + 1, i + parts do
      there = there + left[part] / intervals[part]
      per_us = per_us + 1 / intervals[part]
    end
    granted = math.min(granted, math.floor(there))
    wait = math.max(wait, math.ceil((need - there) / per_us))
  end
  parts_of[i] = parts
  i = i + parts + 1
end
if granted < 1 then return {0, wait} end

local function take(key, us)
  local tat = tats[key] + us
  -- a second more than it means anything: a clock that is corrected must not free a limit
  redis.call('SET', KEYS[key], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1000)
end

for whole, parts in pairs(parts_of) do
  take(whole, granted * intervals[whole])
  local missing = granted
  for part = whole + 1, whole + parts do
    local us = math.min(left[part], math.ceil(missing * intervals[part]))
    if us > 0 then
      take(part, us)
      missing = math.max(0, missing - us / intervals[part])
    end
  end
end
return {granted, 0}
