-- Claims: one string per delivery, pass|state|owner|until_ms|charge|crashes|alone|payload
-- state: h(eld) c(alling) a(nswered) d(one) f(ree); payload: the verdict while answered, the status when done.
-- ARGV[1] names the operation; what follows is told at each. Every operation recognises its own repetition.
-- Cancelled notifications: a key cancel:<notification id> each, and `cancels`, which outlives them all, so that one look
-- is enough where there is none. No call begins for what is cancelled; what a take or an advance stops becomes answered,
-- with a verdict like a provider's, so that nothing is done before its outcome is recorded.

local FORM = '^(%d+)|(%a)|([^|]*)|(%d+)|([^|]*)|(%d+)|(%d)|(.*)$'
local CANCELS = 'cancels'
local CANCELLED = '{"status":"cancelled","reason":"cancelled_by_client"}'
local IN_DOUBT = '{"status":"unknown","reason":"in_doubt","detail":"cancelled when a call was in doubt"}'
local CHUNK = 1000 -- unpack puts its values on Lua's stack, which ends near 8,000
local FINAL = {sent = true, delivered = true, bounced = true, complained = true, suppressed = true, failed = true,
               expired = true, cancelled = true, unknown = true}

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function read(key)
  local value = redis.call('GET', key)
  if not value then return nil end
  local pass, state, owner, til, charge, crashes, alone, payload = string.match(value, FORM)
  if not pass then return nil end
  return {pass = tonumber(pass), state = state, owner = owner, til = tonumber(til), charge = charge,
          crashes = tonumber(crashes), alone = alone, payload = payload}
end

local function is_final(verdict)
  return FINAL[string.match(verdict, '"status":"(%a+)"')]
end

-- Whether a provider was, or may have been, handed the delivery without this being recorded.
local function is_under_way(claim)
  return claim.state == 'c' or (claim.state == 'a' and is_final(claim.payload))
end

-- Which of these notifications (a JSON array of ids, read only where need be) are cancelled, by place.
local function cancelled_among(notifications)
  local found = {}
  if redis.call('EXISTS', CANCELS) == 0 then return found end
  local ids = cjson.decode(notifications)
  for from = 1, #ids, CHUNK do
    local keys = {}
    for i = from, math.min(from + CHUNK - 1, #ids) do keys[#keys + 1] = 'cancel:' .. ids[i] end
    local part = redis.call('MGET', unpack(keys))
    for i = 1, #part do found[from - 1 + i] = part[i] end
  end
  return found
end

local function write(key, claim, ttl)
  redis.call('SET', key, string.format('%d|%s|%s|%s|%s|%d|%s|%s', claim.pass, claim.state, claim.owner,
    string.format('%.0f', claim.til), claim.charge, claim.crashes, claim.alone, claim.payload), 'PX', ttl)
end

-- take: owner, until_ms, alone (0 or 1), ttl_ms, notifications, then a pass for each key. What time it is here, and per key:
-- state, crashes, payload.
local function take()
  local owner, til, alone, ttl = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
  local now, found, cancelled = now_ms(), {}, cancelled_among(ARGV[6])
  for i, key in ipairs(KEYS) do
    local pass = tonumber(ARGV[6 + i])
    local claim = read(key)
    local fresh = {pass = pass, state = 'h', owner = owner, til = til, charge = '', crashes = 0, alone = alone, payload = ''}
    local state = 'taken'
    if claim and claim.pass < pass and is_under_way(claim) then
      -- Parked by a stop that did not wait for its worker: what is known of the call holds for this pass, too.
      claim.pass = pass
    end
    if claim and claim.pass > pass then
      state = 'finished'
    elseif claim and claim.state == 'd' and (claim.pass == pass or FINAL[claim.payload]) then
      state = 'finished'
    elseif claim and claim.pass == pass then
      fresh.charge, fresh.crashes = claim.charge, claim.crashes
      if claim.state == 'a' then
        state = 'answered'
        fresh.state, fresh.payload = 'a', claim.payload
      elseif claim.state ~= 'f' and claim.owner ~= owner then
        if now < claim.til then
          state = 'busy'
        else
          if claim.alone == '1' then fresh.crashes = fresh.crashes + 1 end
          if claim.state == 'c' then state, fresh.state = 'in_doubt', 'c' end -- so it stays, if this child dies, too
        end
      end
    end
    if state ~= 'finished' and state ~= 'busy' then
      if cancelled[i] and not (state == 'answered' and is_final(fresh.payload)) then
        local is_in_doubt = state == 'in_doubt' or string.find(fresh.payload, '"is_in_doubt":true', 1, true)
        fresh.state, fresh.payload = 'a', is_in_doubt and IN_DOUBT or CANCELLED
        state = 'answered'
      end
      write(key, fresh, ttl)
    end
    found[i] = {state, fresh.crashes, fresh.payload}
  end
  return {now, found}
end

-- advance: owner, until_ms, ttl_ms, number of answered, notifications of the rest, deadline_ms, then pass and payload for
-- each of the answered, then a pass for each of the rest, which are to be called. What time it is here, and per key to be
-- called: 1 where it may be, 0 where it is not ours, the verdict where it is cancelled. A claim that is gone is made anew:
-- only one copy is out at a time. From the deadline (of this clock) on nobody waits for the answer: none may be called, and
-- each has -1; what is answered is noted all the same.
local function advance()
  local owner, til, ttl, answered = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
  local now, may, cancelled = now_ms(), {}, cancelled_among(ARGV[6])
  local is_late = now >= tonumber(ARGV[7])
  for i, key in ipairs(KEYS) do
    local pass = tonumber(i <= answered and ARGV[6 + 2 * i] or ARGV[7 + answered + i])
    local claim = read(key) or {pass = pass, state = 'h', owner = owner, charge = '', crashes = 0, alone = '0'}
    if i <= answered then
      if claim.pass == pass and claim.state ~= 'd' then
        claim.state, claim.owner, claim.til, claim.payload = 'a', owner, til, ARGV[7 + 2 * i]
        write(key, claim, ttl)
      end
    elseif is_late then
      may[i - answered] = -1
    elseif claim.pass == pass and claim.owner == owner and (claim.state == 'h' or claim.state == 'c') then
      may[i - answered] = 1
      if cancelled[i - answered] then
        -- Being called already means that it was taken in doubt.
        may[i - answered] = claim.state == 'c' and IN_DOUBT or CANCELLED
        claim.state, claim.til, claim.payload = 'a', til, may[i - answered]
      else
        claim.state, claim.til, claim.payload = 'c', til, ''
      end
      write(key, claim, ttl)
    else
      may[i - answered] = 0
    end
  end
  return {now, may}
end

-- done: ttl_ms, owner, then pass and status for each key. A copy that stood still after parking tells of it when the next
-- copy may be calling, or have got through: that stays.
local function done()
  for i, key in ipairs(KEYS) do
    local pass, status = tonumber(ARGV[2 + 2 * i]), ARGV[3 + 2 * i]
    local claim = read(key)
    local is_further = claim and claim.owner ~= ARGV[3]
      and (is_under_way(claim) or (claim.state == 'd' and FINAL[claim.payload]))
    if not claim or (claim.pass <= pass and (FINAL[status] or not is_further)) then
      write(key, {pass = pass, state = 'd', owner = '', til = 0, charge = '', crashes = 0, alone = '0',
                  payload = status}, ARGV[2])
    end
  end
  return 1
end

-- release: owner, as crash (0 or 1), ttl_ms. What was being called is not free, but in doubt from now on; nobody died.
local function release()
  for _, key in ipairs(KEYS) do
    local claim = read(key)
    if claim and claim.owner == ARGV[2] and (claim.state == 'h' or claim.state == 'c') then
      if claim.state == 'h' then claim.state, claim.owner = 'f', '' else claim.til, claim.alone = 0, '0' end
      claim.crashes = claim.crashes + tonumber(ARGV[3])
      write(key, claim, ARGV[4])
    end
  end
  return 1
end

-- cancel: notification id, life_ms. From now on no call begins for it. Per key: 1 where no worker has the delivery, so that
-- nothing but the caller will tell what became of it before it is taken again.
local function cancel()
  local life, now, free = tonumber(ARGV[3]), now_ms(), {}
  redis.call('SET', 'cancel:' .. ARGV[2], '', 'PX', ARGV[3])
  if redis.call('PTTL', CANCELS) < life then redis.call('SET', CANCELS, '', 'PX', ARGV[3]) end
  for i, key in ipairs(KEYS) do
    local claim = read(key)
    local is_at_work = claim and (claim.state == 'c' or claim.state == 'a' or (claim.state == 'h' and now < claim.til)
      or (claim.state == 'd' and FINAL[claim.payload]))
    free[i] = is_at_work and 0 or 1
  end
  return free
end

return ({take = take, advance = advance, done = done, release = release, cancel = cancel})[ARGV[1]]()
